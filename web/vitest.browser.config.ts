import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Browser tests, in Debian's Chromium. Against the fake API unless
// ASSAY_WEB_URL names a server (with ASSAY_WEB_USER and ASSAY_WEB_PASSWORD). Tests
// that change what is there run, in place of those that only look, where
// ASSAY_WEB_DEMO says that it is a demonstration.
const { ASSAY_WEB_URL: url, ASSAY_WEB_DEMO: demo } = process.env;
const specs = url === undefined ? ["any", "built", "fake"] : demo === undefined ? ["any"] : ["demo"];

// The file that takes longest comes first: at the end it would run alone.
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = (file: TestSpecification): number => Number(!file.moduleId.endsWith("any-routes.spec.ts"));
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: specs.map((one) => `test/browser/${one}*.spec.ts`),
    environment: "node",
    // Fakes are apart; what one file changes on a server another would meet.
    fileParallelism: url === undefined || demo === undefined,
    maxWorkers: 2,
    // A browser on a busy machine may miss a deadline once; what is wrong is wrong
    // twice, and the report names whatever needed the second try.
    retry: process.env.CI === undefined ? 0 : 1,
    sequence: { sequencer: LongestFirst },
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
