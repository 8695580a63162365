import { defineConfig } from "vitest/config";

// Browser tests, in Debian's Chromium. Against the fake API unless
// ASSAY_WEB_URL names a server (with ASSAY_WEB_USER and ASSAY_WEB_PASSWORD).
export default defineConfig({
  test: {
    include: process.env.ASSAY_WEB_URL === undefined ? ["test/browser/*.spec.ts"] : ["test/browser/any-*.spec.ts"],
    globalSetup: ["test/browser/setup.ts"],
    environment: "node",
    fileParallelism: false,
    // A browser on a busy machine may miss a deadline once; what is wrong is wrong
    // twice, and the report names whatever needed the second try.
    retry: process.env.CI === undefined ? 0 : 1,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
