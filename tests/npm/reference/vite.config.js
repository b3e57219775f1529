export default {
  optimizeDeps: {
    entries: [],
    include: [
      "@nanostores/react",
      "django-sessions-plus",
      "django-sessions-plus/compat",
      "jwt-decode",
      "nanostores",
      "react",
      "react-dom/client",
      "react/jsx-dev-runtime",
      "react/jsx-runtime",
    ],
  },
  // Files that come must not reload the pages that are open.
  server: { hmr: false, watch: null, proxy: { "/auth": { target: process.env.DJANGO_URL, changeOrigin: false } } },
};
