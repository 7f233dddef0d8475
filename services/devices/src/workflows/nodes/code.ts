import { AppError, oneOf, recordOf, type Static, Type } from '@fleetgate/kit'
import { toWire, valueTypes } from '../../entities/storedValue.js'
import { checkValue } from '../../entities/valueRules.js'
import { nodeType, type Outcome } from '../nodeType.js'

export const languages = { code: ['js'], expression: ['condition', 'js'] } as const

export const Payload = Type.Array(
  Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }), type: Type.Optional(oneOf(valueTypes)) }),
  { maxItems: 100 }
)
const Code = Type.Object({
  expression: Type.Object({
    language: oneOf(languages.code),
    expression: Type.String({ minLength: 1, maxLength: 100_000 })
  }),
  inputArguments: Type.Optional(recordOf(Type.Unknown())),
  payload: Type.Optional(Payload)
})

/** The arguments are global names of the code and the argument of its `main`, where it has one. */
export const code = nodeType<Static<typeof Code>>({
  component: 'code',
  title: 'Code',
  group: 'action',
  form: [
    { name: 'inputArguments', title: 'Input arguments', type: 'map', control: 'paramAssignInput' },
    { name: 'expression', title: 'Expression', type: 'object', control: 'codeEditor' },
    { name: 'payload', title: 'Output variables', type: 'array', control: 'paramDefineInput', isOutput: true }
  ],
  isTestable: true,
  parameters: Code,
  async run({ expression, inputArguments = {}, payload = [] }, { sandbox, signal }) {
    const program = { code: expression.expression, globals: inputArguments, argument: inputArguments }
    const result = await sandbox.run(program, signal)
    return { output: declared(toOutcome(result), payload) }
  }
})

function toOutcome(result: unknown): Outcome {
  const isMap = typeof result === 'object' && result !== null && !Array.isArray(result)
  return isMap ? (result as Outcome) : { result }
}

/** Where the node says what it puts out, that must be there, in its type. */
function declared(outcome: Outcome, payload: Static<typeof Payload>): Outcome {
  const typed = payload.map(({ name, type }): [string, unknown] => {
    const value = Object.hasOwn(outcome, name) ? outcome[name] : undefined
    if (type === undefined || type === 'OBJECT' || value === undefined || value === null) return [name, value ?? null]
    const checked = checkValue({ valueType: type, attribute: {} }, value)
    if ('reason' in checked) throw new AppError('invalid_state', `output ${name} ${checked.reason}`)
    return [name, checked.value === undefined ? null : toWire(checked.value)]
  })
  return { ...outcome, ...Object.fromEntries(typed) }
}
