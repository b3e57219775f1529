import { SessionProvider } from "django-sessions-plus/react";

import { Name } from "./name.jsx";

export const dynamic = "force-static";
// A component of the client's, imported where there is no client: it says itself that it is one.
export const metadata = { title: typeof SessionProvider };

export default function Page() {
  return <Name />;
}
