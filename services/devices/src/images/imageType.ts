/** Types of images that dashboards show, by what the bytes are and not by what somebody says of them. */
export type ImageType = 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp' | 'image/svg+xml'

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const jpegSignature = Buffer.from([0xff, 0xd8, 0xff])

export function imageTypeOf(bytes: Buffer): ImageType | undefined {
  if (bytes.subarray(0, 8).equals(pngSignature)) return 'image/png'
  if (bytes.subarray(0, 3).equals(jpegSignature)) return 'image/jpeg'
  if (/^GIF8[79]a/.test(bytes.toString('latin1', 0, 6))) return 'image/gif'
  if (/^RIFF[\s\S]{4}WEBP/.test(bytes.toString('latin1', 0, 12))) return 'image/webp'
  return isSvg(bytes.toString('utf8', 0, 4096)) ? 'image/svg+xml' : undefined
}

/** An svg element, perhaps behind a declaration, a document type or comments. */
function isSvg(text: string): boolean {
  const start = text
    .replace(/^\uFEFF/, '')
    .trimStart()
    .toLowerCase()
  if (/^<svg[\s>]/.test(start)) return true
  return ['<?xml', '<!--', '<!doctype svg'].some((first) => start.startsWith(first)) && /<svg[\s>]/.test(start)
}
