/** Whether some topic is matched by both filters. */
export function overlaps(one: string, other: string): boolean {
  // A wildcard at the start matches no topic that begins with `$`.
  if (one.startsWith('$') !== other.startsWith('$') && (isOpen(one) || isOpen(other))) return false
  const a = one.split('/')
  const b = other.split('/')
  for (let level = 0; level < Math.max(a.length, b.length); level++) {
    const [left, right] = [a[level], b[level]]
    if (left === '#' || right === '#') return true
    if (left === undefined || right === undefined) return false
    if (left !== '+' && right !== '+' && left !== right) return false
  }
  return true
}

function isOpen(filter: string): boolean {
  return filter.startsWith('+') || filter.startsWith('#')
}
