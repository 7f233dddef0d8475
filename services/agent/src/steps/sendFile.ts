import { transferOf } from '@fleetgate/contracts/fleet'
import { receiveFiles } from './receiveFiles.js'
import { type Outcome, type StepContext, StepError } from './step.js'
import { nameOf } from './target.js'

/**
 * SEND_FILE and BROADCAST on the receiving machine: the files stand in the command since the run began. By BROADCAST they come
 * through a cast, once for all machines of the run.
 */
export async function sendFile({ parts, command, step, signal, say }: StepContext): Promise<Outcome> {
  const source = command.sources[String(step.scriptId)]
  if (!source?.files || source.files.length === 0)
    throw new StepError(source?.error ?? 'the command names no source file')
  const { files, castId } = source
  const order = { ...step, files, name: nameOf(step.filePath ?? ''), castId, transfer: transferOf(step) }
  return { status: 'SUCCESS', message: await receiveFiles(parts, order, { signal, say }), answer: true }
}
