import type { Credentials, SessionClient, SessionClientOptions, SessionError, TokenStorage, User } from "./client.js";
import type { RequestLike } from "./server.js";

export interface ApiOptions<U = User> extends Omit<SessionClientOptions<U>, "baseUrl" | "storage" | "transport"> {
  /** The origin of the site, such as "https://example.com"; default: that of the page. */
  host?: string;
  /** Where the API is mounted there. Default "/auth/". */
  path?: string;
  /** `localStorage`, `sessionStorage` or the like; without it the tokens are lost at a reload. Of no use by cookie. */
  storage?: TokenStorage;
  /** Default "header". */
  tokenTransport?: "header" | "cookie";
  /** Called when another person, or nobody, is signed in. */
  onAuthStateChange?: (state: AuthState<U>) => void;
}

export interface AuthState<U = User> {
  user: U | null;
  /** Whether the server has been asked. */
  verified: boolean;
}

export type ApiError = SessionError & { message: string };

export type ApiResponse<U = User> =
  | { ok: true; status: number; data: { user: U; token?: string }; error: null }
  | { ok: false; status: number; data: null; error: ApiError | null };

/** The names of an `Api` object, on this client. */
export class Api<U = User> {
  constructor(options?: ApiOptions<U>);
  readonly client: SessionClient<U>;
  readonly auth: {
    /**
     * Ask whose session this is. Where the server cannot be asked it resolves to what is known, and rejects with a
     * TypeError, whose `cause` is the client's error, while nothing is.
     */
    me(): Promise<ApiResponse<U>>;
    login(strategy: "password", credentials: Credentials): Promise<ApiResponse<U>>;
    /** End the session; without an answer of the server, here. */
    logout(): Promise<void>;
    /** On a server: whose request that is. */
    resolveAuthFromRequest(request: RequestLike): Promise<U | null>;
  };
  /** Ask the server; tells whether somebody is signed in. */
  verifyAuth(): Promise<boolean>;
  /** Who is signed in, as far as is known; null before anybody has asked. */
  getUser(): U | null;
  isAuthenticated(): boolean;
  getAuthState(): AuthState<U>;
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
}

/** The options of the client, as those of a plugin. */
export function authClient<U = User>(
  options?: SessionClientOptions<U> & { session?: SessionClientOptions<U> },
): SessionClientOptions<U>;

export function createTypedClient<U = User>(
  options?: SessionClientOptions<U> & { plugins?: SessionClientOptions<U>[] },
): SessionClient<U>;
