import type { TestProject } from "vitest/node";
import { startFake } from "../fake/server";

declare module "vitest" {
  export interface ProvidedContext {
    baseUrl: string;
    user: string;
    password: string;
  }
}

/** Starts the fake console unless a server is named in the environment. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const named = process.env.ASSAY_WEB_URL;
  if (named !== undefined) {
    project.provide("baseUrl", named.replace(/\/$/, ""));
    project.provide("user", process.env.ASSAY_WEB_USER ?? "admin");
    project.provide("password", process.env.ASSAY_WEB_PASSWORD ?? "");
    return undefined;
  }
  const fake = await startFake(0);
  project.provide("baseUrl", fake.url);
  project.provide("user", "admin");
  project.provide("password", "assay");
  return fake.stop;
}
