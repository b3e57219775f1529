import { svelte } from "@sveltejs/vite-plugin-svelte";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

const django = { target: process.env.DJANGO_URL, changeOrigin: process.env.CHANGE_ORIGIN === "true" };

export default defineConfig({
  plugins: [vue(), svelte(), solid({ include: /\.jsx$/ })],
  // The pages are several, and what they import is known only when they are opened.
  optimizeDeps: {
    entries: ["*.html"],
    include: ["vue", "solid-js", "solid-js/web"],
  },
  server: { proxy: { "/auth": django } },
});
