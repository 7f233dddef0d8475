import { statfs } from 'node:fs/promises'
import { PathError, type Place } from './paths.js'

/** Throws what a write without room would, before anything is written. */
export async function refuseIfFull(place: Place, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(place.at('.'))
  if (bavail * bsize >= bytes) return
  throw Object.assign(new PathError(`no room for ${bytes} bytes in ${place.folderPath}`), { code: 'ENOSPC' })
}
