import { createSessionClient } from "django-sessions-plus";

export const client = createSessionClient();
