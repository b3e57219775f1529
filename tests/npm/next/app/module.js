"use client";

import { createSessionClient } from "django-sessions-plus";

// Imported where the page is built, too: there is no document, and nobody to ask for.
export const client = createSessionClient();
