/** A measured value and the most that the product promises. */
export interface Bound {
  what: string
  value: number
  most: number
  unit: string
}

/** Prints each value beside its bound; the process fails where one is broken, also by a value that is no number. */
export function judge(bounds: readonly Bound[]): void {
  for (const { what, value, most, unit } of bounds) {
    const isKept = value <= most
    console.log(`${isKept ? 'kept  ' : 'BROKEN'} ${what}: ${value.toFixed(2)} ${unit}, at most ${most} ${unit}`)
    if (!isKept) process.exitCode = 1
  }
}
