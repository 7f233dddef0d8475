import type { MachineResult, StepRow } from './watch.js'

const heads = ['Machine', 'Step', 'Status', 'Time', 'What happened']
const widest = 70

/** What happened on each machine in each step. */
export function resultTable(results: MachineResult[]): string[] {
  return toTable(
    heads,
    results.flatMap(({ mqttClientId, steps, status, message }) => [
      ...steps.map((step, index) => [index === 0 ? mqttClientId : '', step.type, step.status, time(step), story(step)]),
      [steps.length === 0 ? mqttClientId : '', '(all)', status, '', message ?? '']
    ])
  )
}

export function toTable(head: string[], rows: string[][]): string[] {
  const all = [head, ...rows].map((row) =>
    row.map((cell) => (cell.length > widest ? `${cell.slice(0, widest - 1)}…` : cell))
  )
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  )
  return [lines[0] ?? '', widths.map((width) => '-'.repeat(width)).join('  '), ...lines.slice(1)]
}

function time({ startTime, endTime }: StepRow): string {
  return startTime !== null && endTime !== null ? `${Math.max(0, Math.round(endTime - startTime))} ms` : ''
}

/** The document's own messages ("START", "Successed") say nothing new: the newest other one does. */
function story({ messages, output }: StepRow): string {
  const own = messages.find(({ message }) => !['START', 'Successed', 'Failed', 'Skipped'].includes(message))
  const said = output?.trim().split('\n').at(-1)
  return [own?.message, said].filter(Boolean).join(': ')
}
