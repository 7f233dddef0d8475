import { win32 } from 'node:path'

/** Why a path is none that a step on Windows may use; nothing where it is one. `path.win32` alone, so it can be asked anywhere. */
export function oddWindowsPath(path: string): string | undefined {
  if (/^[\\/]{2}/.test(path)) return 'is a network or device path'
  const { root } = win32.parse(path)
  if (/^[A-Za-z]:$/.test(root)) return 'has a drive without a folder'
  if (root === '\\' || root === '/') return 'has a folder without a drive'
  for (const part of path.slice(root.length).split(/[\\/]/)) {
    const reason = part === '' || part === '.' ? undefined : oddPart(part)
    if (reason) return reason
  }
  return undefined
}

/** Devices have these names in every folder, whatever follows the dot; the digits may be superscripts too. */
const device = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])$/i

function oddPart(part: string): string | undefined {
  if (part === '..') return "holds '..'"
  if (part.includes(':')) return 'names an alternate data stream'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[<>"|\u0000-\u001f]/.test(part)) return 'holds characters that Windows knows no file by'
  if (/[. ]$/.test(part)) return 'has a part that ends in a dot or blank, which Windows leaves off'
  if (device.test((part.split('.')[0] ?? '').trimEnd())) return 'names a device'
  // Another name of some file, which the one who reads the path cannot see.
  if (/^[^.]{1,6}~\d+(\.[^.]{0,3})?$/.test(part)) return 'holds a short (8.3) name'
  return undefined
}

/** Why a folder cannot be one of the roots; nothing where it can. */
export function oddWindowsRoot(path: string): string | undefined {
  if (!/^[A-Za-z]:[\\/]/.test(path)) return 'must be on a drive (C:\\folder)'
  return oddWindowsPath(path)
}

/** Is the path the root or below it? Windows does not tell capitals apart; both must be absolute. */
export function isWithinOnWindows(root: string, path: string): boolean {
  const [outer, inner] = [root, path].map((one) => plain(one)) as [string, string]
  return inner === outer || inner.startsWith(outer.endsWith('\\') ? outer : `${outer}\\`)
}

/** As Windows compares: letter by letter in upper case, so never a letter with two (`ß` and `SS` are other names). */
function plain(path: string): string {
  const normal = win32.normalize(path)
  const { root } = win32.parse(normal)
  const bare = normal.length > root.length ? normal.replace(/\\+$/, '') : normal
  return [...bare].map((char) => (char.toUpperCase().length === char.length ? char.toUpperCase() : char)).join('')
}
