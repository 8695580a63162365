// Serves the built console over the fake API: `npm run fake [port]`.
import { runnerImport } from "vite";

const { module } = await runnerImport(new URL("./fake/server.ts", import.meta.url).pathname);
const server = await module.startFake(Number(process.argv[2] ?? 8181));
console.log(`fake console on ${server.url} (admin, viewer, empty or broken; password "assay")`);
