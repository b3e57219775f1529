import { headers } from "next/headers";
import { sessionFromRequest } from "django-sessions-plus/server";

import { Session } from "./session.jsx";

export default async function Layout({ children }) {
  const request = { headers: await headers() };
  const { initialSession } = await sessionFromRequest(request, { baseUrl: `${process.env.DJANGO_URL}/auth/` });
  return (
    <html lang="en">
      <body>
        <Session initialSession={initialSession}>{children}</Session>
      </body>
    </html>
  );
}
