// What shows nothing. The functions and the runtime judge by it; SQL's private.is_blank lists the same, held equal by a test.

/** White space, controls, zero-width characters. */
const BLANK = /^[\s\p{Cc}\p{Z}\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*$/u;

/** Whether a text is empty or has only white space and invisible characters. */
export const isBlank = (value: string): boolean => BLANK.test(value);
