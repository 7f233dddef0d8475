import { oneOf, type Static, Type } from '@fleetgate/kit'
import { type NodeContext, nodeType } from '../nodeType.js'
import { asText, lookupIn, resolve, resolveKey } from '../references.js'

const operators = [
  ...['CONTAINS', 'NOT_CONTAINS', 'START_WITH', 'END_WITH', 'EQ', 'NE'],
  ...['IS_EMPTY', 'IS_NOT_EMPTY', 'GT', 'GE', 'LT', 'LE']
] as const
type Operator = (typeof operators)[number]

const Comparison = Type.Object({
  key: Type.String({ minLength: 1, maxLength: 512 }),
  operator: Type.Unsafe<Operator>(Type.String({ enum: [...operators] })),
  value: Type.Optional(Type.Unknown())
})
const When = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 128 }),
  logicOperator: Type.Optional(oneOf(['AND', 'OR'])),
  expressionType: oneOf(['condition', 'js']),
  conditions: Type.Array(
    Type.Object({
      expressionValue: Type.Union([Comparison, Type.String({ minLength: 1, maxLength: 20_000 })])
    }),
    { minItems: 1, maxItems: 20 }
  )
})
const Choice = Type.Object({
  choice: Type.Object({
    when: Type.Array(When, { minItems: 1, maxItems: 20 }),
    otherwise: Type.Optional(Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) }))
  })
})

/** The first branch whose conditions hold goes on, or else the one called `otherwise`. */
export const choice = nodeType<Static<typeof Choice>>({
  component: 'choice',
  title: 'If/else',
  group: 'control',
  form: [
    {
      name: 'choice',
      title: 'Branches',
      type: 'object',
      required: true,
      description: 'Code must come to true or false',
      control: 'conditionsInput'
    }
  ],
  parameters: Choice,
  raw: true,
  problem: ({ choice: { when } }) => {
    const wrong = when.find(({ expressionType, conditions }) =>
      conditions.some(({ expressionValue }) => (typeof expressionValue === 'string') !== (expressionType === 'js'))
    )
    return wrong && `the conditions of branch "${wrong.id}" do not fit its expressionType`
  },
  async run({ choice: { when, otherwise } }, context) {
    for (const branch of when) {
      if (await holds(branch, context)) return { output: { branch: branch.id }, branch: branch.id }
    }
    return otherwise ? { output: { branch: otherwise.id }, branch: otherwise.id } : { output: {}, branch: '' }
  }
})

async function holds({ logicOperator, conditions }: Static<typeof When>, context: NodeContext): Promise<boolean> {
  const isAnd = logicOperator !== 'OR'
  for (const { expressionValue } of conditions) {
    const isTrue =
      typeof expressionValue === 'string' ? await byCode(expressionValue, context) : byRule(expressionValue, context)
    if (isTrue !== isAnd) return isTrue
  }
  return isAnd
}

async function byCode(code: string, { sandbox, outputs, signal }: NodeContext): Promise<boolean> {
  const properties = Object.fromEntries(outputs)
  return Boolean(await sandbox.run({ code, globals: { properties }, argument: properties }, signal))
}

function byRule({ key, operator, value }: Static<typeof Comparison>, { outputs }: NodeContext): boolean {
  const lookup = lookupIn(outputs)
  return compare(operator, resolveKey(key, lookup), resolve(value, lookup))
}

/** Numbers as numbers where both sides are, else as texts. */
export function compare(operator: Operator, left: unknown, right: unknown): boolean {
  const text = asText(left)
  const other = asText(right)
  switch (operator) {
    case 'CONTAINS':
      return text.includes(other)
    case 'NOT_CONTAINS':
      return !text.includes(other)
    case 'START_WITH':
      return text.startsWith(other)
    case 'END_WITH':
      return text.endsWith(other)
    case 'IS_EMPTY':
      return text === ''
    case 'IS_NOT_EMPTY':
      return text !== ''
    default:
      return byOrder(operator, order(text, other))
  }
}

function byOrder(operator: Operator, sign: number): boolean {
  if (operator === 'EQ') return sign === 0
  if (operator === 'NE') return sign !== 0
  if (operator === 'GT') return sign > 0
  if (operator === 'GE') return sign >= 0
  return operator === 'LT' ? sign < 0 : sign <= 0
}

function order(left: string, right: string): number {
  const areNumbers =
    left.trim() !== '' && right.trim() !== '' && !Number.isNaN(Number(left)) && !Number.isNaN(Number(right))
  if (areNumbers) return Math.sign(Number(left) - Number(right))
  return left === right ? 0 : left < right ? -1 : 1
}
