import { AppError } from '@fleetgate/kit'
import type { Entity } from '../entities/entity.js'
import type { ExportRow } from './history.js'

const header = ['Entity Name', 'Entity Identifier', 'Value', 'Update Time', 'Integration', 'Device']
/** Characters that go out together: one small write per row would cost more than the row, and one value may be long. */
const charactersAtOnce = 65_536

/** `yyyy/MM/dd HH:mm:ss` in a time zone; refuses one that nobody knows. */
export function clockOf(timeZone: string | undefined): (at: number) => string {
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('ja-JP', { ...parts, timeZone })
  } catch (cause) {
    throw new AppError('invalid_input', 'time_zone is unknown', { field: 'time_zone' }, { cause })
  }
  return (at) => format.format(at)
}

const two = '2-digit'
const parts: Intl.DateTimeFormatOptions = {
  year: 'numeric',
  month: two,
  day: two,
  hour: two,
  minute: two,
  second: two,
  hourCycle: 'h23'
}

export async function* toCsv(
  rows: AsyncIterable<ExportRow>,
  { clock, integrationName }: { clock: (at: number) => string; integrationName: (id: string) => string | undefined }
): AsyncGenerator<string> {
  let text = lineOf(header)
  for await (const { entity, sample } of rows) {
    const value = labelOf(entity, String(sample.value))
    const name = integrationName(entity.integration) ?? entity.integration
    const cells = [entity.name, entity.key, value, clock(sample.at), name, entity.deviceName ?? '']
    text += lineOf(cells.map(guardFormula))
    if (text.length < charactersAtOnce) continue
    yield text
    text = ''
  }
  yield text
}

function labelOf({ attribute }: Entity, value: string): string {
  const labels = attribute.enum
  if (typeof labels !== 'object' || labels === null || !Object.hasOwn(labels, value)) return value
  return String((labels as Record<string, unknown>)[value])
}

/** A spreadsheet would run what begins like a formula; numbers stay numbers. */
function guardFormula(cell: string): string {
  return /^[=+\-@\t\r\n]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : cell
}

function lineOf(cells: string[]): string {
  return `${cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')}\r\n`
}
