/** A case-insensitive "contains" filter from user text: every character means itself. */
export function containsPattern(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), 'i')
}
