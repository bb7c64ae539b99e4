// What shows nothing. The functions and the runtime judge by it; SQL's private.is_blank lists the same, held equal by a test.

/** White space, controls, what Unicode says is not displayed, and the empty pattern of Braille. */
const BLANK = /^[\s\p{Cc}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]*$/u;

/** Whether a text is empty or has only white space and invisible characters. */
export const isBlank = (value: string): boolean => BLANK.test(value);
