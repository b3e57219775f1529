// Made from the table of the API by "make codes"; a test holds them equal.

/** The codes of the API's errors. */
export type ApiErrorCode =
  | "invalid"
  | "parse_error"
  | "session_interrupted"
  | "not_authenticated"
  | "invalid_token"
  | "token_expired"
  | "session_ended"
  | "invalid_credentials"
  | "permission_denied"
  | "csrf_failed"
  | "https_required"
  | "reauthentication_required"
  | "second_factor_required"
  | "verification_required"
  | "not_found"
  | "method_not_allowed"
  | "request_too_large"
  | "unsupported_media_type"
  | "throttled"
  | "unavailable"
  | "not_in_use";
