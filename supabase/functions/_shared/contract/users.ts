/** The caller's account: profile, export, deletion. */
import { z } from "zod";
import { aBody, anObject, flag, list, text, timestamp, userId } from "./primitives.ts";

const URL_FORM = /^https?:\/\/\S+$/;

const preferences = z.object({
  email: z.boolean(),
  real_time: z.boolean(),
  security_alerts: z.boolean(),
});

const account = z.object({
  id: userId,
  email: z.string().nullable(),
  created_at: timestamp,
  last_sign_in_at: timestamp.nullable(),
  app_metadata: z.record(z.string(), z.unknown()),
  user_metadata: z
    .looseObject({ permissions: z.array(z.string()) })
    .meta({ description: "What the user set; `permissions` are those in force." }),
  role: z.string().nullable(),
});

const profile = z.object({
  username: z.string().nullable(),
  notification_preferences: preferences.nullable(),
  agent_count: z.int().min(0),
  storage_used: z.string().meta({ example: "150MB" }),
});

/** GET and PUT /api/users/profile */
export const userProfile = z.object({ user: account, profile }).meta({ id: "UserProfile" });

/** PUT /api/users/profile: a field left out stays, null clears one. */
export const updateProfileRequest = z
  .strictObject(
    {
      username: text(100, 1).nullish(),
      user_metadata: z
        .strictObject(
          {
            full_name: text(200).nullish(),
            avatar_url: text(2048).regex(URL_FORM, "Must be an http or https URL").nullish(),
            permissions: list(text(100), 100)
              .nullish()
              .meta({ description: "Narrows what an operator granted; null ends that." }),
          },
          anObject,
        )
        .nullish(),
      notification_preferences: z
        .strictObject(
          { email: flag().nullish(), real_time: flag().nullish(), security_alerts: flag().nullish() },
          anObject,
        )
        .nullish(),
    },
    aBody,
  )
  .refine((value) => Object.keys(value).length > 0, {
    error: "Must name at least one field to change",
    when: ({ issues }) => issues.length === 0,
  })
  .meta({ id: "UpdateProfileRequest", minProperties: 1 });

const rows = z.array(z.record(z.string(), z.unknown()));

/** GET /api/users/export */
export const userExport = userProfile
  .extend({
    exportedAt: timestamp,
    user_id: userId,
    tables: z
      .record(z.string(), rows)
      .meta({ description: "The caller's rows of each table, newest first, up to 16 MiB in all." }),
    omitted: z
      .record(z.string(), z.int())
      .meta({ description: "How many older rows did not fit, by table." }),
    rest: z
      .record(z.string(), z.string())
      .meta({ description: "Where the omitted rows are read on, by table: raise `offset` by `limit`." }),
    sessions: rows,
    identities: rows,
    files: rows,
  })
  .meta({ id: "UserExport" });

/** DELETE /api/users/profile */
export const accountDeleted = z
  .object({
    user_id: userId,
    status: z.literal("DELETED"),
    message: z.string(),
    agents_deleted: z.int().min(0),
    audit_log_preserved: z.boolean(),
    timestamp,
  })
  .meta({ id: "AccountDeleted" });

/** DELETE /api/users/profile */
export const deleteAccountQuery = z.strictObject({
  confirm: z
    .string()
    .min(1, "Must be the e-mail address of this account")
    .max(320, "Must be the e-mail address of this account")
    .optional()
    .meta({ description: "The account's e-mail address." }),
});

export type UserProfile = z.infer<typeof userProfile>;
export type UpdateProfileRequest = z.input<typeof updateProfileRequest>;
export type UserExport = z.infer<typeof userExport>;
export type AccountDeleted = z.infer<typeof accountDeleted>;
