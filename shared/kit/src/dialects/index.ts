import { type DialectName, ruleOf } from '@fleetgate/contracts'
import { beaver } from './beaver.js'
import type { Dialect } from './dialect.js'
import { dms } from './dms.js'
import { emq } from './emq.js'
import { iam } from './iam.js'
import { linker } from './linker.js'
import { sdes } from './sdes.js'

export const dialects: Record<DialectName, Dialect> = { beaver, sdes, emq, dms, linker, iam }

/** The dialect that owns a path (without query string); Beaver's for paths that nobody owns. */
export function dialectOf(path: string): Dialect {
  return dialects[ruleOf(path)?.dialect ?? 'beaver']
}
