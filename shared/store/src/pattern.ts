/** A case-insensitive "contains" filter from user text: every character means itself. NUL is spelled out: BSON's patterns end at one. */
export function containsPattern(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&').replaceAll('\0', '\\x00'), 'i')
}

/** So many characters of each part are kept: further ones hardly narrow a search. */
const partLength = 16

/**
 * Every part of a text that a search may ask for, by where it begins: `shop` has `shop`, `hop`, `op` and `p`. Kept in an
 * indexed field of its own it makes "contains" a look-up; a pattern walks over all there are, 0.15 s for 100,000.
 */
export function partsOf(text: string): string[] {
  const characters = [...text.toLowerCase()]
  return [...new Set(characters.map((_, begin) => characters.slice(begin, begin + partLength).join('')))]
}

/** The filter on a field with `partsOf` a text, case-insensitive; of a longer part it looks at the first 16 characters only. */
export function partFilter(part: string): { $elemMatch: { $gte: string; $lt: string } } {
  const begin = [...part.toLowerCase()].slice(0, partLength).join('')
  return { $elemMatch: { $gte: begin, $lt: `${begin}\u{10ffff}` } }
}

/** False where `partFilter` finds more than what contains the part. */
export function isWholePart(part: string): boolean {
  return [...part.toLowerCase()].length <= partLength
}
