import { Type } from '@fleetgate/kit'

/** What of a person comes over the wire, in every route. */
export const Email = Type.String({ minLength: 5, maxLength: 255, format: 'email' })
export const Nickname = Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' })
/** The rule counts bytes and stands in passwordRules; this only bounds what is looked at. */
export const Password = Type.String({ maxLength: 1024 })
export const Person = { email: Email, nickname: Nickname, password: Password }
