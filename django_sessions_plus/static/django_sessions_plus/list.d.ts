import type { Result, Session, SessionClient, SessionError, Unsettled } from "./client.js";

export interface SessionListState {
  /** Of the page that is shown; those that are being ended are not among them. */
  sessions: readonly Session[];
  /** Why the list, or an end, failed; a session whose end has failed is there again. */
  error: SessionError | null;
  isLoading: boolean;
  hasNext: boolean;
  hasPrevious: boolean;
}

export interface SessionListVerbs {
  /** Ask for the first page again. */
  reload(): Promise<void>;
  /** Show the neighbouring page, if there is one. */
  next(): Promise<void>;
  previous(): Promise<void>;
  /** End a session. It leaves the list at once, and comes back if that fails. */
  revoke(id: string): Promise<Result<Unsettled | null>>;
  /** End all but this one, those of other pages too. */
  revokeOthers(): Promise<Result<{ revoked: number } & Partial<Unsettled>>>;
}

/** A store, as `client.session` is one. */
export interface SessionList extends SessionListVerbs {
  readonly value: Readonly<SessionListState>;
  get(): Readonly<SessionListState>;
  /** Call `listener` now and at every change. Returns what ends that. */
  subscribe(listener: (state: Readonly<SessionListState>) => void): () => void;
  /** Call `listener` at every change. Returns what ends that. */
  listen(listener: (state: Readonly<SessionListState>) => void): () => void;
}

/** Make the list of the sessions of whoever is signed in; the first listener has it asked for. */
export function createSessionList(client: SessionClient<any>): SessionList;
