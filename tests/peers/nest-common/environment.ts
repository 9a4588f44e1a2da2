/** What a variable of the environment says; without a default it has to be there. */
export function variable(name: string, byDefault?: string): string {
  const value = process.env[name] || byDefault;
  if (value === undefined) throw new Error(`${name} must be set`);
  return value;
}
