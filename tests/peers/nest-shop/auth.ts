import { CanActivate, createParamDecorator, ExecutionContext, Injectable, SetMetadata, UnauthorizedException } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { JwtService } from '@nestjs/jwt';

export type Role = 'USER' | 'SELLER' | 'ADMIN';
const ROLES: Role[] = ['USER', 'SELLER', 'ADMIN'];

/** Who a token belongs to. */
export interface User {
  id: string;
  role: Role;
}

@Injectable()
export class TokenService {
  constructor(private readonly jwt: JwtService) {}

  async verify(token: unknown): Promise<User> {
    const { sub, role } = await this.jwt.verifyAsync(String(token));
    if (!sub || !ROLES.includes(role)) throw new UnauthorizedException();
    return { id: sub, role };
  }
}

/** Routes for these roles alone; without it, for all. */
export const Roles = (...roles: Role[]) => SetMetadata('roles', roles);

export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): User => context.switchToHttp().getRequest().user);

@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly tokens: TokenService,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest();
    const [, token] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    try {
      request.user = await this.tokens.verify(token);
    } catch {
      throw new UnauthorizedException();
    }
    const roles = this.reflector.getAllAndOverride<Role[] | undefined>('roles', [context.getHandler(), context.getClass()]);
    return !roles || roles.includes(request.user.role);
  }
}
