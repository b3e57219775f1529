import type { ApiErrorCode } from "./codes.js";

export type { ApiErrorCode };

/** Where the session is on its way to the server. */
export type Transport = "cookie" | "bearer" | "jwt";

type MaybeLater<T> = T | Promise<T>;

/** A place for tokens that all tabs share: localStorage, AsyncStorage, SecureStore, one of your own. May answer later. */
export interface TokenStorage {
  getItem(key: string): MaybeLater<string | null | undefined>;
  setItem(key: string, text: string): unknown;
  removeItem(key: string): unknown;
}

export interface Device {
  label: string;
  browser: string;
  os: string;
  kind: string;
  /** Of an app; empty for browsers. */
  version: string;
}

/** A session as its owner sees it. Moments are texts in ISO 8601, UTC. */
export interface Session {
  id: string;
  userId: number | string;
  createdAt: string;
  /** When the expiry was moved last. */
  updatedAt: string;
  /** Null for a session that was started for somebody, who has not authenticated. */
  authenticatedAt: string | null;
  /** Whether sensitive acts need the password, because it was used from another network or browser since. */
  reauthenticationRequired: boolean;
  lastSeenAt: string;
  expiresAt: string;
  /** Seconds until then, as of the answer; in lists only. */
  expiresIn?: number;
  ipAddress: string | null;
  userAgent: string | null;
  device: Device;
  /** What an issued token is called; empty for other sessions. */
  name: string;
  remember: boolean;
  isCurrent: boolean;
}

/** The fields of `SESSIONS_PLUS_USER_FIELDS`, their names in camelCase. Say which with a type of your own. */
export interface User {
  id: number | string;
  username?: string;
  email?: string;
  [field: string]: unknown;
}

export interface SessionData<U = User> {
  session: Session;
  user: U;
}

/** Codes of your own, such as those of a `SignInRefusal`: declare them as members of this interface. */
export interface ProjectErrorCodes {}

/** "network_error": no answer. "unexpected_answer": none of the API. "aborted": by your signal. */
export type ClientErrorCode = "network_error" | "unexpected_answer" | "aborted";

export type ErrorCode = ApiErrorCode | ClientErrorCode | (keyof ProjectErrorCodes & string);

export interface SessionError {
  code: ErrorCode;
  /** For people. */
  detail: string;
  /** The HTTP status; 0 when there was no answer. */
  status: number;
  /** With "invalid": what is wrong with which field. */
  fields?: Record<string, string[]>;
  /** With "throttled": seconds. */
  retryAfter?: number;
  [member: string]: unknown;
}

export interface Failure {
  data: null;
  error: SessionError;
}

/** What a verb resolves to: `error` tells which of the two. */
export type Result<T> = { data: T; error: null } | Failure;

/** What is known: after a failure to ask, `data` is what was known before. */
export type Known<U = User> =
  | { data: SessionData<U>; error: null }
  | { data: null; error: null }
  | { data: SessionData<U> | null; error: SessionError };

export interface SessionState<U = User> {
  data: SessionData<U> | null;
  error: SessionError | null;
  /** Nothing is known yet: show neither the page of somebody signed in nor a sign-in form. */
  isPending: boolean;
  /** Something is known and is being asked for again. */
  isRefetching: boolean;
}

/** The contract of Svelte's stores, and of `useStore()` of nanostores. The value is the same object while nothing changed. */
export interface SessionStore<U = User> extends Readonly<SessionState<U>> {
  readonly value: Readonly<SessionState<U>>;
  get(): Readonly<SessionState<U>>;
  /** Call `listener` now and at every change. Returns what ends that. */
  subscribe(listener: (state: Readonly<SessionState<U>>) => void): () => void;
  /** Call `listener` at every change. Returns what ends that. */
  listen(listener: (state: Readonly<SessionState<U>>) => void): () => void;
}

/**
 * "signed_out": by a verb, or elsewhere by the same token. "revoked": ended from another device or by the staff.
 * "limit": more sessions than one person may have. "password_changed". "suspicious": used as if by somebody else.
 * "expired": by time. "session_ended": the server could not tell.
 */
export type SignOutReason =
  | "signed_out"
  | "revoked"
  | "limit"
  | "password_changed"
  | "suspicious"
  | "expired"
  | "session_ended"
  | (string & {});

export interface SessionEvents<U = User> {
  /** It is known for the first time who is signed in; null for nobody. Whoever listens later is told at once. */
  "initial-session": SessionData<U> | null;
  /** There are new tokens, by a refresh or because a view has replaced them; null while it is not known whose. */
  "token-refreshed": SessionData<U> | null;
  /** The session expires in `expiresIn` seconds unless it is used; `stay` uses it. */
  expiring: { expiresIn: number; stay: () => Promise<Known<U>> };
  /** The session has expired, and the server says so; "signed-out" follows. */
  expired: SessionData<U>;
  /** Nobody is signed in any more; who was. */
  "signed-out": SessionData<U> & { reason: SignOutReason };
  /** Somebody is signed in, here or in another tab, and was not a moment ago. */
  "signed-in": SessionData<U>;
  /** Nothing was done in any tab for `idleFor` seconds. */
  idle: { idleFor: number; stay: () => Promise<Known<U>> };
}

export interface SessionClientOptions<U = User> {
  /** Where the endpoints are mounted; another origin needs CORS. Default "/auth/". */
  baseUrl?: string;
  /** Default "cookie". */
  transport?: Transport;
  /** Where tokens are kept; of no effect by cookie. Default "memory". */
  storage?: "memory" | "session" | "local" | TokenStorage;
  /**
   * With "jwt": have the refresh token in a cookie no script can read. Default: with storage "memory", on pages of the
   * API's origin.
   */
  refreshCookie?: boolean;
  /**
   * Seconds between two looks at the session while the page is seen; 0 is none, the default. Such a look is no
   * activity, but for people who are not idle where `idleAfter` tells.
   */
  refetchInterval?: number;
  /** Look again when the page gets the focus, at most every five seconds. Default true. */
  refetchOnWindowFocus?: boolean;
  /** Look again also while the browser says that it is offline. Default false. */
  refetchWhenOffline?: boolean;
  /** How many seconds before the expiry "expiring" comes. Default 60. */
  expiringBefore?: number;
  /** After how many seconds of doing nothing "idle" comes; 0 is never, the default. */
  idleAfter?: number;
  /** What sends requests. */
  fetch?: typeof globalThis.fetch;
  /**
   * Of requests, those of `fetch()` included. Default "omit" where only tokens go; else "same-origin", or "include" where
   * the API is of another origin.
   */
  credentials?: RequestCredentials;
  /** `CSRF_COOKIE_NAME`, the header for `CSRF_HEADER_NAME`, and a meta tag for where there is no such cookie. */
  csrf?: { cookie?: string; header?: string; meta?: string };
  /** What the server has rendered into the page; null for nobody. Then nothing is asked for at the start. */
  initialSession?: InitialSession | null;
  onStateChange?: (state: Readonly<SessionState<U>>) => void;
}

/** The body of `GET session`. */
export interface InitialSession {
  session: Record<string, unknown> | null;
  user: Record<string, unknown> | null;
}

export interface Credentials {
  username?: string;
  email?: string;
  password: string;
  remember?: boolean;
  [field: string]: unknown;
}

export interface SessionPage {
  results: Session[];
  /** Addresses of the neighbouring pages, for `listSessions()`. */
  next: string | null;
  previous: string | null;
}

/**
 * What a server with a cache says that could not tell it of an end (HTTP 202): the sessions have ended, but other
 * processes may serve them for as many seconds.
 */
export interface Unsettled {
  settled: false;
  within: number;
}

export interface CallOptions {
  /** Gives up waiting: the verb resolves to the error "aborted". What was sent may still be done. */
  signal?: AbortSignal;
}

export interface SessionVerbs<U = User> {
  /**
   * Ask the server who is signed in; `data` is null for nobody. With `passive` that does not count as activity, so
   * that the session expires as if nobody had asked.
   */
  getSession(options?: CallOptions & { passive?: boolean }): Promise<Known<U>>;
  signIn(credentials: Credentials, options?: CallOptions): Promise<Result<SessionData<U>>>;
  /**
   * End the session. With an `error` it goes on, and it can be tried again. With `local` it is over here at once,
   * without an answer of the server, which is told as soon as it can be.
   */
  signOut(options?: CallOptions & { local?: boolean }): Promise<Result<null>>;
  /** As the listener to a click. */
  signOut(event: { readonly type: string }): Promise<Result<null>>;
  listSessions(page?: string | null, options?: CallOptions): Promise<Result<SessionPage>>;
  revokeSession(id: string, options?: CallOptions): Promise<Result<Unsettled | null>>;
  revokeOtherSessions(options?: CallOptions): Promise<Result<{ revoked: number } & Partial<Unsettled>>>;
  /** End all sessions, this one too. */
  revokeSessions(options?: CallOptions): Promise<Result<{ revoked: number } & Partial<Unsettled>>>;
  /** Enter the password again; the session is fresh afterwards. */
  reauthenticate(credentials: { password: string }, options?: CallOptions): Promise<Result<SessionData<U>>>;
  /** Use the session now; renews the access token where there is one. */
  refresh(options?: CallOptions): Promise<Known<U>>;
  /**
   * A token that is good now, for sockets and other libraries: the access token, or with the transport "bearer" the
   * session token. Null by cookie, and where nobody is signed in or the server cannot be reached.
   */
  accessToken(options?: CallOptions): Promise<string | null>;
  /** `fetch` in the name of the session, to the origin of `baseUrl`; elsewhere just `fetch`. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
}

export interface SessionClient<U = User> extends SessionVerbs<U> {
  readonly auth: SessionVerbs<U>;
  readonly session: SessionStore<U>;
  /** The same, by the name that stores of nanostores have. */
  readonly $session: SessionStore<U>;
  /** Listen to an event. Returns what ends that. */
  on<E extends keyof SessionEvents<U>>(event: E, listener: (detail: SessionEvents<U>[E]) => void): () => void;
  /** Stop listening, asking and telling. */
  close(): void;
}

export function createSessionClient<U = User>(options?: SessionClientOptions<U>): SessionClient<U>;
