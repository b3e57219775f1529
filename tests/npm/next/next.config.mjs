export default {
  async rewrites() {
    return [{ source: "/auth/:path*", destination: `${process.env.DJANGO_URL}/auth/:path*` }];
  },
};
