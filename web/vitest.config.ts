import { defineConfig } from "vitest/config";

// Unit tests: pure code, no browser and no server.
export default defineConfig({
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
