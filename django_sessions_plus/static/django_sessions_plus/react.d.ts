import type { ReactElement, ReactNode } from "react";
import type { SessionClient, SessionError, Session, SessionState, SessionVerbs, User } from "./client.js";

/** Make a client available to everything inside. */
export function SessionProvider(props: { client: SessionClient<any>; children?: ReactNode }): ReactElement;

/** What is known of the session. Renders again when any of it changes. */
export function useSession<U = User>(): Readonly<SessionState<U>>;

/** Who is signed in, and the verbs. Renders again when that changes, not while it is asked for. */
export function useAuth<U = User>(): SessionVerbs<U> & {
  user: U | null;
  session: Session | null;
  isSignedIn: boolean;
  /** Nothing is known yet. */
  isLoading: boolean;
  error: SessionError | null;
};
