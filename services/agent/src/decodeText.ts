/** Text as people leave it in files: Windows' own editors and shells begin with a mark, and may write UTF-16. */
export function decodeText(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString('utf16le', 2)
  return bytes.toString('utf8').replace(/^\ufeff/, '')
}
