"use client";

import { SessionProvider, useAuth, useSessions } from "django-sessions-plus/react";

import { client } from "../module.js";

function Inside() {
  const { user, isLoading } = useAuth();
  const { sessions } = useSessions();
  return <p>{isLoading ? "One moment" : `${user?.username}: ${sessions.length}`}</p>;
}

export function Name() {
  return (
    <SessionProvider client={client}>
      <Inside />
    </SessionProvider>
  );
}
