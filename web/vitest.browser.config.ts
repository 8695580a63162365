import { defineConfig } from "vitest/config";

// Browser tests, in Debian's Chromium. Against the fake API unless
// ASSAY_WEB_URL names a server (with ASSAY_WEB_USER and ASSAY_WEB_PASSWORD). Tests
// that change what is there run where ASSAY_WEB_DEMO says that it is a demonstration.
const { ASSAY_WEB_URL: url, ASSAY_WEB_DEMO: demo } = process.env;
const specs = url === undefined ? ["any", "built", "fake"] : demo === undefined ? ["any"] : ["any", "demo"];

export default defineConfig({
  test: {
    include: specs.map((one) => `test/browser/${one}*.spec.ts`),
    environment: "node",
    // Fakes are apart; on a named server tests of one file would meet those of another.
    fileParallelism: url === undefined,
    maxWorkers: 2,
    // A browser on a busy machine may miss a deadline; what is wrong is wrong each
    // time, and the report names whatever needed another try.
    retry: process.env.CI === undefined ? 0 : 2,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
