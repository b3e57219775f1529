"use client";

import { useAuth } from "django-sessions-plus/react";

export function Account() {
  const { user, isLoading, signOut } = useAuth();
  if (isLoading) return <p>One moment</p>;
  return user ? <button onClick={signOut}>Sign out {user.username}</button> : <p>Nobody</p>;
}
