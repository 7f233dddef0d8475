/** The value of an option, or an error that names the option and its bounds. */
export function wholeNumber(name: string, text: string, maximum: number, minimum = 1): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value
  throw new Error(`--${name} must be a whole number from ${minimum} to ${maximum}`)
}
