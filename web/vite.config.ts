import { defineConfig } from "vite";
import react from "@vitejs/plugin-react";

// The development server passes API calls to a running server, or to the fake
// one of `npm run fake`.
const api = process.env.ASSAY_API ?? "http://127.0.0.1:8181";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    outDir: "dist",
    emptyOutDir: true,
    // Data URLs are kept to images; nothing else may be inlined under the CSP.
    assetsInlineLimit: 0,
    manifest: "manifest.json",
    // The polyfill is an inline script, which the CSP refuses.
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": api } },
});
