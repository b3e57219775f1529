// A CommonJS module of a TypeScript project.

import { createSessionClient } from "django-sessions-plus";
import react = require("django-sessions-plus/react");

const client = createSessionClient();
export const label: Promise<string | undefined> = client
  .getSession()
  .then(({ data }) => data?.session.device.label);
export const { SessionProvider } = react;
