import { constants } from 'node:fs'
import { type FileHandle, open, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { blockSize, createTurns } from '@fleetgate/contracts/fleet'
import { sha256, sha256Of, writePiece } from '../files.js'
import { isSame, isWithin, type Place } from '../paths.js'
import { replaceFile } from '../platform/replaceFile.js'
import { refuseIfFull } from '../room.js'
import { findFiles, hasWildcard } from '../tree.js'
import { type Outcome, requiredPath, type StepContext, StepError } from './step.js'
import { modeOf, nameOf, openTarget, reasonToSkip, summaryOf } from './target.js'

/** COPY_FILE within the machine. Repeatable: equal content is left alone, and a target is replaced whole or not at all. */
export async function copyFile(context: StepContext): Promise<Outcome> {
  const { parts, step, plan } = context
  const path = requiredPath(step, 'filePath')
  requiredPath(step, 'targetFilePath')
  const [base = '', ...files] = await plan(async () => {
    const found = await findFiles(parts.paths, path, step.ignoreHiddenFile ?? false)
    if (found.files.length === 0) throw new StepError(`${found.base} holds no file to copy`)
    return [found.base, ...found.files]
  })
  const messages: string[] = []
  for (const file of files) messages.push(await copyOne(context, base, file))
  return { status: 'SUCCESS', message: summaryOf(messages), answer: true }
}

async function copyOne(context: StepContext, base: string, path: string): Promise<string> {
  const { parts, step } = context
  const from = await parts.paths.open(join(base, path))
  try {
    const source = await parts.paths.openFile(from)
    try {
      const to = await openTarget(parts.paths, step, { path, name: nameOf(base) })
      try {
        refuseIntoItself(context, base, { from, to })
        return await copyUnlessThere(context, { source, from, to })
      } finally {
        await to.close()
      }
    } finally {
      await source.close()
    }
  } finally {
    await from.close()
  }
}

/** The next run would find the copy among the files, and the one after that the copy of the copy. */
function refuseIntoItself({ step }: StepContext, base: string, { from, to }: { from: Place; to: Place }): void {
  if (hasWildcard(step.filePath ?? '') || isSame(to.path, from.path) || !isWithin(base, to.path)) return
  throw new StepError(`${base} cannot be copied into itself`)
}

interface Copy {
  source: FileHandle
  from: Place
  to: Place
}

async function copyUnlessThere({ parts, step, signal }: StepContext, { source, from, to }: Copy): Promise<string> {
  const before = await source.stat()
  const content = async () => ({ size: before.size, sha256: await sha256Of(source, signal) })
  const skipped = await reasonToSkip(parts, { place: to, step, signal, content })
  if (skipped !== undefined) return skipped
  await refuseIfFull(to, before.size)
  const mode = await modeOf(parts, to, before.mode)
  const fill = async (part: FileHandle) => {
    await pour(source, part, signal)
    const after = await source.stat()
    if (after.size === before.size && after.mtimeMs === before.mtimeMs) return
    throw new StepError(`${from.path} changes while it is being copied`)
  }
  await inTurn(to.path, () => replace(to, mode, fill))
  return `copied ${from.path} to ${to.path}, ${before.size} bytes`
}

const openNew = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** Two steps at once that write one file would share the one beside it. */
const inTurn = createTurns()

/** Fills a file beside the target and puts it in the target's place, all or nothing. */
async function replace(to: Place, mode: number, fill: (part: FileHandle) => Promise<void>): Promise<void> {
  const name = `.fleetgate-${sha256(to.path).slice(0, 16)}-copy.part`
  // Whatever is there, left by a death or put there by others, is not written to.
  await rm(to.at(name), { force: true })
  const part = await open(to.at(name), openNew, 0o600)
  try {
    await fill(part)
    await part.chmod(mode)
    await part.sync()
    await replaceFile(to.at(name), to.at(to.name))
  } catch (error) {
    await unlink(to.at(name)).catch(() => undefined)
    throw error
  } finally {
    await part.close()
  }
  await to.syncFolder()
}

async function pour(source: FileHandle, part: FileHandle, signal: AbortSignal): Promise<void> {
  const piece = Buffer.allocUnsafe(blockSize)
  for (let from = 0; ; ) {
    signal.throwIfAborted()
    const { bytesRead } = await source.read(piece, 0, piece.length, from)
    if (bytesRead === 0) return
    await writePiece(part, piece.subarray(0, bytesRead), from)
    from += bytesRead
  }
}
