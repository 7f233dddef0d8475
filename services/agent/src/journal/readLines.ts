const newline = 10

/**
 * Reads JSON lines. Only the end can be torn (the file grows there and each write is synced before the next), so bytes after the last good line are dropped; a bad line before it is damage and is counted.
 */
export function readLines(content: Buffer): { records: unknown[]; goodBytes: number; broken: number } {
  const records: unknown[] = []
  let goodBytes = 0
  let broken = 0
  let brokenSinceGood = 0
  for (let from = 0; from < content.length; ) {
    const end = content.indexOf(newline, from)
    if (end < 0) break
    const record = parse(content.toString('utf8', from, end))
    from = end + 1
    if (record === undefined) {
      brokenSinceGood += 1
      continue
    }
    records.push(record)
    goodBytes = from
    broken += brokenSinceGood
    brokenSinceGood = 0
  }
  return { records, goodBytes, broken }
}

function parse(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
