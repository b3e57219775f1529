import { sessionFromRequest } from "django-sessions-plus/server";

export async function GET(request) {
  const { data, error } = await sessionFromRequest(request, { baseUrl: `${process.env.DJANGO_URL}/auth/` });
  if (error) return Response.json(error, { status: 502 });
  if (!data) return Response.json({ user: null }, { status: 401 });
  return Response.json({ user: data.user });
}
