import type { InitialSession, SessionData, SessionError, User } from "./client.js";

/** A `Request`, a request of Node's own `http`, or `{ headers: await headers() }` of Next.js. */
export interface RequestLike {
  headers: { get(name: string): string | null } | Record<string, string | string[] | undefined>;
}

export interface ServerOptions {
  /** Where this server reaches the API: absolute, such as "http://127.0.0.1:8000/auth/". */
  baseUrl: string;
  fetch?: typeof globalThis.fetch;
  /** Seconds. Default 10. */
  timeout?: number;
}

/** `initialSession` is for the option of that name of the client on the page; undefined with an error. */
export type RequestSession<U = User> =
  | { data: SessionData<U>; error: null; initialSession: InitialSession }
  | { data: null; error: null; initialSession: InitialSession }
  | { data: null; error: SessionError; initialSession: undefined };

/** Ask the API whose session the credentials of a request are; `data` is null for nobody. No activity of theirs. */
export function sessionFromRequest<U = User>(request: RequestLike, options: ServerOptions): Promise<RequestSession<U>>;
