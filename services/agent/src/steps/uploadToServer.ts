import { type ManifestFile, transferOf } from '@fleetgate/contracts/fleet'
import { findFiles } from '../tree.js'
import { type Outcome, requiredPath, type StepContext } from './step.js'
import { nameOf, summaryOf } from './target.js'

/**
 * UPLOAD_TO_SERVER: brings files into the central store, under the name of the target if there is one. Repeatable: content
 * that the store has is not sent again, and an upload that was cut goes on where it was.
 */
export async function uploadToServer(context: StepContext): Promise<Outcome> {
  const { filePath = '', targetFilePath = '' } = context.step
  const name = nameOf(targetFilePath) || nameOf(filePath)
  const files = await bringFiles(context, name)
  const messages = files.map(({ path, size, sha256 }) => `stored ${path || name}, ${size} bytes, sha256 ${sha256}`)
  return { status: 'SUCCESS', message: summaryOf(messages), answer: true }
}

/** RECV_FILE: the same, and a SERVER machine fetches them from there. */
export async function recvFile(context: StepContext): Promise<Outcome> {
  const { parts, command, step, signal, say } = context
  const { executionId, attempt } = command
  const files = await bringFiles(context)
  const timeoutMs = step.timeout ? step.timeout * 1000 : parts.config.programTimeoutMs
  const message = await parts.offers.deliver(
    { executionId, attempt, scriptId: step.scriptId, files },
    { timeoutMs, signal, say }
  )
  return { status: 'SUCCESS', message, answer: true }
}

async function bringFiles({ parts, step, plan, signal }: StepContext, name?: string): Promise<ManifestFile[]> {
  const path = requiredPath(step, 'filePath')
  const [base = '', ...files] = await plan(async () => {
    const found = await findFiles(parts.paths, path, step.ignoreHiddenFile ?? false)
    return [found.base, ...found.files]
  })
  const isOne = files.length === 1 && files[0] === ''
  const transfer = transferOf(step)
  return parts.contents.bringIn({ base, files }, { signal, transfer, ...(isOne && name ? { name } : {}) })
}
