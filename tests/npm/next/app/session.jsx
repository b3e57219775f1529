"use client";

import { useState } from "react";
import { createSessionClient } from "django-sessions-plus";
import { SessionProvider } from "django-sessions-plus/react";

export function Session({ initialSession, children }) {
  // One for each page that is rendered: a server renders those of many people.
  const [client] = useState(() => createSessionClient({ initialSession }));
  return <SessionProvider client={client}>{children}</SessionProvider>;
}
