// Which names say that their value is a secret, and what a value stands in whose name is beside it: `{"name": "password", "value": …}`.

/** What stands where a secret was. */
export const BLANK = "[secret]";

/** Names whose values must not be readable later. */
const SECRET_NAME =
  /pass$|pass[-_ ]?(words?|wd|phrase|code)([-_ ]?(confirm(ation)?|repeat|hash))?[-_ ]?\d{0,2}$|^pwd$|secret|token|(api|private|account|access|encryption|signing|client|master)[-_ ]?key(?![-_ ]?id$)|^key$|authorization|credential|cookie|signature$|^sig$|^(jwt|t?otp|mnemonic)$|seed[-_ ]?phrase$/i;
/** Names in which these words mean something else. */
const HARMLESS_NAME = /^secretar(y|ies)$|tokeni[sz](e|ers?|ed|ation)$|token[-_ ]?(type|count)s?$/i;

/** A musical key, a key of a keyboard, the name of a stored file: what else is called `key`. */
const OTHER_KEYS = [
  /^.{0,3}$/,
  /^[A-H]([#b♯♭]|[- ](sharp|flat))?[- ]?(m|maj|min|major|minor|dur|moll|dorian|phrygian|lydian|mixolydian|aeolian|locrian)$/i,
  /^(enter|escape|tab|space|spacebar|backspace|delete|insert|home|end|shift|control|ctrl|meta|page(up|down)|arrow(up|down|left|right))$/i,
  /^\S{1,1000}\.[a-z][a-z0-9]{0,4}$/i,
];

/** Whether a value of this name is a secret. Numbers of tokens are counts, and what is true or false is none. */
export const isSecret = (name: string, value: unknown): boolean =>
  value !== null &&
  value !== "" &&
  typeof value !== "boolean" &&
  SECRET_NAME.test(name) &&
  !HARMLESS_NAME.test(name) &&
  !(/tokens/i.test(name) && (typeof value === "number" || /^\d+$/.test(String(value)))) &&
  !(/^key$/i.test(name) && typeof value === "string" && OTHER_KEYS.some((form) => form.test(value)));

/** Properties that name what another one holds, and those that hold it. */
const LABEL = /^(name|key|label|field|variable|header|id|param|parameter|setting|k)$/i;
const HOLDER = /^(value|values|val|v|default|(default|string|new|old|current|previous)_?value)$/i;
/** A name, not a sentence. */
const NAME_FORM = /^[\w.:[\]-]{1,100}( [\w-]{1,30}){0,2}$/;

/** Whether a property holds what another property names. */
export const isHolder = (property: string): boolean => HOLDER.test(property);

/** Whether this property names a secret: `"name": "DB_PASSWORD"`, and a form's field of the type password. */
export const namesSecret = (property: string, said: unknown): boolean =>
  typeof said === "string" &&
  ((LABEL.test(property) && NAME_FORM.test(said) && isSecret(said, undefined)) ||
    (/^type$/i.test(property) && /^password$/i.test(said)));

/**
 * Which properties of an object are secrets: by their own names, or by the name that stands beside them.
 * @example secretsIn({ name: "password", value: "x" })("value", "x") // true
 */
export function secretsIn(object: object): (name: string, value: unknown) => boolean {
  const entries = Object.entries(object);
  const label = entries.find(([name, value]) => namesSecret(name, value))?.[1] as string | undefined;
  const holds = entries.some(([name]) => isHolder(name));
  return (name, value) => {
    if (holds && LABEL.test(name)) return false; // `key` beside a value is a name
    return isSecret(name, value) || (label !== undefined && isHolder(name) && isSecret(label, value));
  };
}

/** Whether this is a sentence on a token or a key, such as "Key: C major": some short words, none of them like a key. */
export const isProse = (name: string, value: string): boolean =>
  /^(token|key)$/i.test(name) &&
  /^\S+( \S+){1,10}$/.test(value) &&
  value.split(" ").every((word) => /^([a-z'(),.;!?-]{1,15}|\d{1,4}[.,]?)$/i.test(word));
