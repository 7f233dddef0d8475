import { receiveFiles } from './receiveFiles.js'
import { type Outcome, type StepContext, StepError } from './step.js'
import { nameOf } from './target.js'

/** SEND_FILE on the receiving machine: the files stand in the command since the run began. */
export async function sendFile({ parts, command, step, signal, say }: StepContext): Promise<Outcome> {
  const source = command.sources[String(step.scriptId)]
  if (!source?.files || source.files.length === 0)
    throw new StepError(source?.error ?? 'the command names no source file')
  const order = { ...step, files: source.files, name: nameOf(step.filePath ?? '') }
  return { status: 'SUCCESS', message: await receiveFiles(parts, order, { signal, say }), answer: true }
}
