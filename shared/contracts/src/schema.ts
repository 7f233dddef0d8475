import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { type Check, type CheckOptions, checkWith, type Validator } from './check.js'
import { createAjv } from './createAjv.js'
import { oneOf } from './oneOf.js'
import { recordOf } from './recordOf.js'

export { type Check, type CheckOptions, oneOf, recordOf, type Static, type TSchema, Type }

const strictAjv = createAjv({ coerce: false })
const coercingAjv = createAjv({ coerce: true })

/**
 * The returned function answers the value (defaults filled in) or throws `AppError('invalid_input')` whose message names
 * the field and the reason. The schema is compiled when it first checks something: a process has hundreds of schemas, and
 * compiling all of them was a third of the work of its start.
 */
export function compile<S extends TSchema>(schema: S, options: CheckOptions = {}): Check<Static<S>> {
  let check: Check<Static<S>> | undefined
  return (value) => {
    check ??= checkWith((options.coerce ? coercingAjv : strictAjv).compile(schema) as Validator)
    return check(value)
  }
}
