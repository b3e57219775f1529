import type { ReactElement, ReactNode } from "react";
import type { SessionListState, SessionListVerbs } from "./list.js";
import type { Session, SessionClient, SessionError, SessionState, SessionVerbs, User } from "./client.js";

/** Make a client available to everything inside. */
export function SessionProvider(props: { client: SessionClient<any>; children?: ReactNode }): ReactElement;

/** What is known of the session. Renders again when any of it changes. */
export function useSession<U = User>(): Readonly<SessionState<U>>;

export type SignedIn<U = User> =
  | { isSignedIn: true; user: U; session: Session }
  | { isSignedIn: false; user: null; session: null };

/** Who is signed in, and the verbs. Renders again when that changes, not while it is asked for. */
export function useAuth<U = User>(): SessionVerbs<U> &
  SignedIn<U> & {
    /** Nothing is known yet. */
    isLoading: boolean;
    error: SessionError | null;
  };

/** One's sessions, page by page, and what ends them. Asked for while the component is there. */
export function useSessions(): SessionListState & SessionListVerbs;
